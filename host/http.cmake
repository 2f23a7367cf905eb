# The HTTP front door's pure parts: bytes to requests, requests to calls, answers to bytes.
#
# llhttp is Debian's node-llhttp (which provides llhttp-dev): it ships the parser's C source to be
# compiled in, and no library. Its strict mode is a compile-time choice, and ours.
find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp /usr/include REQUIRED)
find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp REQUIRED)
add_library(llhttp STATIC
  ${LLHTTP_SOURCE_DIR}/api.c ${LLHTTP_SOURCE_DIR}/http.c ${LLHTTP_SOURCE_DIR}/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(llhttp PRIVATE -w -fstack-protector-strong -fvisibility=hidden)

add_library(http STATIC
  ${CMAKE_CURRENT_LIST_DIR}/http_answer.c
  ${CMAKE_CURRENT_LIST_DIR}/http_call.c
  ${CMAKE_CURRENT_LIST_DIR}/http_link.c
  ${CMAKE_CURRENT_LIST_DIR}/http_read.c)
target_include_directories(http PUBLIC ${CMAKE_CURRENT_LIST_DIR} ${PROJECT_SOURCE_DIR}/engine)
target_link_libraries(http
  PUBLIC egress engine policy llhttp
  PRIVATE sallyport_flags PkgConfig::SODIUM)
