# The canonical front half, and the way out: placement, address rules, libcurl, the guard.
pkg_check_modules(TLS REQUIRED IMPORTED_TARGET libssl libcrypto)

add_library(egress STATIC
  ${CMAKE_CURRENT_LIST_DIR}/address.c
  ${CMAKE_CURRENT_LIST_DIR}/body.c
  ${CMAKE_CURRENT_LIST_DIR}/redact.c
  ${CMAKE_CURRENT_LIST_DIR}/canonical.c
  ${CMAKE_CURRENT_LIST_DIR}/egress.c
  ${CMAKE_CURRENT_LIST_DIR}/egress_easy.c
  ${CMAKE_CURRENT_LIST_DIR}/egress_headers.c
  ${CMAKE_CURRENT_LIST_DIR}/egress_lane.c
  ${CMAKE_CURRENT_LIST_DIR}/egress_reply.c
  ${CMAKE_CURRENT_LIST_DIR}/egress_upload.c
  ${CMAKE_CURRENT_LIST_DIR}/guard.c
  ${CMAKE_CURRENT_LIST_DIR}/guard_stream.c
  ${CMAKE_CURRENT_LIST_DIR}/headers.c
  ${CMAKE_CURRENT_LIST_DIR}/json.c
  ${CMAKE_CURRENT_LIST_DIR}/placement.c
  ${CMAKE_CURRENT_LIST_DIR}/sign.c
  ${CMAKE_CURRENT_LIST_DIR}/trace.c
  ${CMAKE_CURRENT_LIST_DIR}/upstream.c
  ${CMAKE_CURRENT_LIST_DIR}/wipe_alloc.c ${CMAKE_CURRENT_LIST_DIR}/curl_alloc.c)
target_include_directories(egress PUBLIC ${CMAKE_CURRENT_LIST_DIR} ${PROJECT_SOURCE_DIR}/engine)
target_link_libraries(egress
  PUBLIC policy plugin_loader PkgConfig::UV
  PRIVATE sallyport_flags PkgConfig::CURL PkgConfig::JANSSON PkgConfig::SODIUM PkgConfig::TLS)
