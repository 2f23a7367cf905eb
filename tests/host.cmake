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

# The command as a function, for the calls of it that fail.
file(GLOB COMMAND_SOURCES ${PROJECT_SOURCE_DIR}/host/cli/*.c)
list(FILTER COMMAND_SOURCES EXCLUDE REGEX "/(lsp.*|audit_calls)\\.c$")
set_source_files_properties(${PROJECT_SOURCE_DIR}/host/cli/main.c PROPERTIES
                            COMPILE_OPTIONS "-Dmain=cli_main;-Wno-missing-prototypes")
sallyport_test(unit/test_cli_faults.c engine_kit host lsp audit_calls sallyport_client PkgConfig::SODIUM)
target_sources(test_cli_faults PRIVATE ${COMMAND_SOURCES})
target_compile_definitions(test_cli_faults PRIVATE SALLYPORT_VERSION="${PROJECT_VERSION}")
foreach(name malloc calloc realloc strdup strndup sp_arena_alloc sp_arena_array sp_arena_copy open write read
        pread fopen fsync fstat stat rename)
  target_link_options(test_cli_faults PRIVATE -Wl,--wrap=${name})
endforeach()
sallyport_test(unit/test_lsp_faults.c lsp)
foreach(name malloc calloc realloc strdup strndup sp_arena_alloc sp_arena_array sp_arena_copy)
  target_link_options(test_lsp_faults PRIVATE -Wl,--wrap=${name})
endforeach()
sallyport_test(unit/test_ca.c host PkgConfig::SODIUM PkgConfig::TLS)
sallyport_test(unit/test_curve_file.c client_files PkgConfig::ZMQ PkgConfig::SODIUM)
foreach(name write fsync read fstat zmq_curve_keypair)
  target_link_options(test_curve_file PRIVATE -Wl,--wrap=${name})
endforeach()
