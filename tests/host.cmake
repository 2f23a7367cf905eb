# The host's parts, each with its own list.
include(${CMAKE_CURRENT_LIST_DIR}/host_wire.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/host_egress.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/host_http.cmake)
sallyport_fuzz(fuzz/fuzz_lsp.c lsp)
sallyport_test(unit/test_audit_calls.c audit_calls)
sallyport_fuzz(fuzz/fuzz_audit_calls.c audit_calls)
sallyport_test(unit/test_confine.c host)
sallyport_test(unit/test_shares.c host)

# Preloaded into a host by e2e/test_faults.py: calls of libc that fail. Sanitizers want to be there first,
# and what counts lines has writes of its own.
if(NOT SALLYPORT_SANITIZE AND NOT SALLYPORT_COVERAGE)
  add_library(faults MODULE faults/page.c faults/files.c faults/system.c)
  target_link_libraries(faults PRIVATE sallyport_flags)
  set_target_properties(faults PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
endif()
sallyport_fuzz(fuzz/fuzz_config.c host)
