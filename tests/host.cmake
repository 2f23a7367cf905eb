# The host's parts, each with its own list.
include(${CMAKE_CURRENT_LIST_DIR}/host_wire.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/host_egress.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/host_http.cmake)
sallyport_fuzz(fuzz/fuzz_lsp.c lsp)
sallyport_test(unit/test_audit_calls.c audit_calls)
sallyport_fuzz(fuzz/fuzz_audit_calls.c audit_calls)
sallyport_test(unit/test_confine.c host)
sallyport_test(unit/test_shares.c host)
