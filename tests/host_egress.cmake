# Tests of the canonical front half and of the way out (host/egress.cmake).
if(NOT TARGET egress)
  include(${PROJECT_SOURCE_DIR}/host/egress.cmake)
endif()
pkg_check_modules(TLS REQUIRED IMPORTED_TARGET libssl libcrypto)

# Loopback servers, certificates, and calls that go the whole way.
add_library(egress_kit STATIC unit/loopback.c unit/certs.c unit/egress_kit.c)
target_include_directories(egress_kit PUBLIC ${CMAKE_CURRENT_LIST_DIR}/unit)
target_link_libraries(egress_kit
  PUBLIC egress PkgConfig::TLS PkgConfig::CMOCKA Threads::Threads
  PRIVATE sallyport_flags)

sallyport_test(unit/test_egress.c egress_kit)
sallyport_test(unit/test_egress_ends.c egress_kit)
sallyport_test(unit/test_egress_tls.c egress_kit)
sallyport_test(unit/test_egress_address.c egress_kit)
sallyport_test(unit/test_address.c egress)
sallyport_test(unit/test_guard.c egress PkgConfig::SODIUM)
target_link_options(test_guard PRIVATE -Wl,--wrap=malloc)
sallyport_test(unit/test_placement.c egress)
target_link_options(test_placement PRIVATE -Wl,--wrap=malloc)
sallyport_test(unit/test_sign.c egress)
sallyport_test(unit/test_egress_leaks.c egress_kit PkgConfig::SODIUM)
sallyport_test(unit/test_egress_memory.c egress_kit PkgConfig::SODIUM)
sallyport_test(unit/test_canonical.c egress)
sallyport_test(unit/test_body.c egress)
sallyport_test(unit/test_redact.c egress PkgConfig::JANSSON)
target_link_options(test_redact PRIVATE -Wl,--wrap=malloc -Wl,--wrap=calloc)
sallyport_test(unit/test_headers.c egress)
sallyport_test(unit/test_trace.c egress)
sallyport_test(unit/test_upstream.c egress)

sallyport_fuzz(fuzz/fuzz_body.c egress)
sallyport_fuzz(fuzz/fuzz_redact.c egress PkgConfig::JANSSON)
sallyport_fuzz(fuzz/fuzz_address.c egress)
sallyport_fuzz(fuzz/fuzz_sign.c egress)
sallyport_fuzz(fuzz/fuzz_guard.c egress PkgConfig::SODIUM)
