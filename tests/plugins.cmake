# Tests of the plugin ABI and its loader: the real loader, with real libraries, most of them bad.
if(NOT TARGET plugin_loader)
  include(${PROJECT_SOURCE_DIR}/host/plugin.cmake)
endif()

# bad_plugin(NAME SOURCE [LINK OPTION…]): BAD_DIR/NAME.so, built like a plugin, then spoiled.
set(BAD_DIR ${CMAKE_CURRENT_BINARY_DIR}/bad)
function(bad_plugin name source)
  add_library(${name} MODULE plugins/${source})
  target_link_libraries(${name} PRIVATE Sallyport::PluginSDK sallyport_flags)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" SKIP_BUILD_RPATH ON
                        LIBRARY_OUTPUT_DIRECTORY ${BAD_DIR})
  target_link_options(${name} PRIVATE ${ARGN})
  add_custom_command(TARGET ${name} POST_BUILD COMMAND chmod go-w ${BAD_DIR} $<TARGET_FILE:${name}>)
  set_property(GLOBAL APPEND PROPERTY BAD_PLUGINS ${name})
endfunction()
foreach(name habits major newer no_note no_symbol null_function null_lease null_table reason
             short_lease short_table
             silent twice two_notes worker)
  bad_plugin(bad_${name} bad_${name}.c)
endforeach()
bad_plugin(rotating rotating.c) # not bad: what e2e/test_rotate.py rotates with
bad_plugin(bad_nothing bad_nothing.c)
bad_plugin(bad_runpath bad_nothing.c LINKER:--enable-new-dtags,-rpath,/tmp)
bad_plugin(bad_rpath bad_nothing.c LINKER:--disable-new-dtags,-rpath,/tmp)
bad_plugin(bad_stack bad_nothing.c)
target_link_libraries(bad_stack PRIVATE -Wl,-z,execstack) # behind the flags' noexecstack
bad_plugin(bad_filter bad_nothing.c LINKER:--filter,libm.so.6)
bad_plugin(bad_auxiliary bad_nothing.c LINKER:--auxiliary,libm.so.6)
bad_plugin(bad_audit bad_nothing.c LINKER:--audit,libm.so.6)
bad_plugin(bad_interpose bad_nothing.c LINKER:-z,interpose)
bad_plugin(bad_unresolved bad_foreign_symbol.c)
# Libraries to be needed: one under a name of its own, one under a name that is allowed.
bad_plugin(stranger foreign.c LINKER:-soname,libstranger.so.1)
bad_plugin(impostor foreign.c LINKER:-soname,libgcc_s.so.1)
bad_plugin(bad_needed bad_nothing.c LINKER:--no-as-needed ${BAD_DIR}/stranger.so)
bad_plugin(bad_foreign_symbol bad_foreign_symbol.c LINKER:--no-as-needed ${BAD_DIR}/impostor.so)
add_dependencies(bad_needed stranger)
add_dependencies(bad_foreign_symbol impostor)
# One fault each, for `sallyport plugin check` (e2e/test_plugin_check.py).
foreach(fault manifest any_extension two_tables picky oversize hostile leak pool unstable slow hang
              version pushes unnoticed allocations long silent answers revoke rotate none)
  bad_plugin(manners_${fault} bad_manners.c)
  string(TOUPPER ${fault} FAULT)
  target_compile_definitions(manners_${fault} PRIVATE FAULT_${FAULT})
endforeach()
get_property(BAD_PLUGINS GLOBAL PROPERTY BAD_PLUGINS)

foreach(test load elf abi push check providers)
  sallyport_test(unit/test_plugin_${test}.c plugin_loader Sallyport::PluginSDK
                 PkgConfig::SODIUM ${CMAKE_DL_LIBS} Threads::Threads)
  target_compile_definitions(test_plugin_${test} PRIVATE BAD_DIR="${BAD_DIR}"
    STRIPE_SO="$<TARGET_FILE:stripe>" GITHUB_SO="$<TARGET_FILE:github>"
    REST_SO="$<TARGET_FILE:rest>" HMAC_SO="$<TARGET_FILE:hmac>" TEMPLATE_SO="$<TARGET_FILE:template>")
  target_include_directories(test_plugin_${test} PRIVATE plugins)
  add_dependencies(test_plugin_${test} ${BAD_PLUGINS} stripe github rest hmac template)
endforeach()
target_link_options(test_plugin_load PRIVATE -Wl,--wrap=fcntl)

sallyport_test(unit/test_fake_host.c Sallyport::PluginSDK ${CMAKE_DL_LIBS})
target_compile_definitions(test_fake_host PRIVATE ROTATING_SO="$<TARGET_FILE:rotating>")
add_dependencies(test_fake_host rotating)

sallyport_test(unit/test_worker.c worker Sallyport::PluginSDK)
target_compile_definitions(test_worker PRIVATE BAD_DIR="${BAD_DIR}"
  WORKER="$<TARGET_FILE:sallyport-worker>" STRIPE_SO="$<TARGET_FILE:stripe>"
  GITHUB_SO="$<TARGET_FILE:github>" REST_SO="$<TARGET_FILE:rest>" HMAC_SO="$<TARGET_FILE:hmac>")
target_include_directories(test_worker PRIVATE plugins)
add_dependencies(test_worker ${BAD_PLUGINS} stripe github rest hmac sallyport-worker)

sallyport_test(unit/test_worker_frames.c worker_frames)
sallyport_test(unit/test_pins.c host)
sallyport_test(unit/test_catalogue.c host)
# Calls that fail: the test leads them through itself, by macros or by the linker.
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
sallyport_test(unit/test_sandbox.c worker_frames PkgConfig::SECCOMP)
add_executable(evil_worker plugins/evil_worker.c)
target_link_libraries(evil_worker PRIVATE worker_frames sallyport_flags)
sallyport_test(unit/test_worker_evil.c worker Sallyport::PluginSDK)
target_compile_definitions(test_worker_evil PRIVATE WORKER="$<TARGET_FILE:sallyport-worker>"
  EVIL_WORKER="$<TARGET_FILE:evil_worker>" TEMPLATE_SO="$<TARGET_FILE:template>")
target_include_directories(test_worker_evil PRIVATE plugins)
add_dependencies(test_worker_evil evil_worker template sallyport-worker)
foreach(call calloc socketpair posix_spawn_file_actions_init posix_spawnattr_init
             posix_spawn_file_actions_adddup2 posix_spawn_file_actions_addopen
             posix_spawnattr_setsigmask posix_spawnattr_setsigdefault fcntl memfd_create fstat mmap
             uv_pipe_init uv_pipe_open uv_read_start uv_write send)
  target_link_options(test_worker_evil PRIVATE LINKER:--wrap=${call})
endforeach()

# What was built for 1.0 runs today, and what is built today runs in a host of 1.0 (abi/README.md).
add_library(abi_v1_0 MODULE abi/v1.0/plugin.c)
target_include_directories(abi_v1_0 PRIVATE abi/v1.0/include)
target_link_libraries(abi_v1_0 PRIVATE sallyport_flags)
set_target_properties(abi_v1_0 PROPERTIES PREFIX "" SUFFIX ".so" SKIP_BUILD_RPATH ON
                      LIBRARY_OUTPUT_DIRECTORY ${BAD_DIR})
add_custom_command(TARGET abi_v1_0 POST_BUILD COMMAND chmod go-w ${BAD_DIR} $<TARGET_FILE:abi_v1_0>)
add_library(abi_extensions MODULE abi/extensions/plugin.c) # e2e/test_rotate.py has it rotate
target_include_directories(abi_extensions PRIVATE abi/extensions/include abi/v1.0/include)
target_link_libraries(abi_extensions PRIVATE sallyport_flags)
set_target_properties(abi_extensions PROPERTIES PREFIX "" SUFFIX ".so" SKIP_BUILD_RPATH ON
                      LIBRARY_OUTPUT_DIRECTORY ${BAD_DIR})
add_custom_command(TARGET abi_extensions POST_BUILD
                   COMMAND chmod go-w ${BAD_DIR} $<TARGET_FILE:abi_extensions>)
add_dependencies(test_worker abi_extensions)
target_compile_definitions(test_worker PRIVATE ABI_SO="$<TARGET_FILE:abi_v1_0>")
add_dependencies(test_worker abi_v1_0)
sallyport_test(unit/test_abi.c ${CMAKE_DL_LIBS})
target_include_directories(test_abi BEFORE PRIVATE abi/v1.0/include)
target_compile_definitions(test_abi PRIVATE STRIPE_SO="$<TARGET_FILE:stripe>"
  GITHUB_SO="$<TARGET_FILE:github>" REST_SO="$<TARGET_FILE:rest>" HMAC_SO="$<TARGET_FILE:hmac>"
  TEMPLATE_SO="$<TARGET_FILE:template>")
add_dependencies(test_abi stripe github rest hmac template)
foreach(check frozen breaks report)
  add_test(NAME abi_${check} COMMAND ${CMAKE_CURRENT_LIST_DIR}/abi/check ${check})
  set_tests_properties(abi_${check} PROPERTIES ENVIRONMENT CC=${CMAKE_C_COMPILER}
                       SKIP_RETURN_CODE 77)
endforeach()

# The header, in every language that it promises.
foreach(language c/c99 c/c11 c/c17 c++/c++11 c++/c++17)
  get_filename_component(std ${language} NAME)
  get_filename_component(kind ${language} DIRECTORY)
  add_test(NAME plugin_header_compiles_as_${std}
    COMMAND ${CMAKE_C_COMPILER} -x ${kind} -std=${std} -Wall -Wextra -Wpedantic -pedantic-errors
            -Wconversion -Wshadow -Wundef -Werror -fsyntax-only
            -I${PROJECT_SOURCE_DIR}/plugins/sdk/include
            ${CMAKE_CURRENT_LIST_DIR}/plugins/header.c)
endforeach()

# From the installed SDK alone, in an empty folder.
add_test(NAME plugin_builds_from_the_installed_sdk_alone
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DBUILD=${PROJECT_BINARY_DIR}
          -DWORK=${CMAKE_CURRENT_BINARY_DIR}/outside -DCC=${CMAKE_C_COMPILER}
          -DLOADER=$<TARGET_FILE:test_plugin_outside>
          -P ${CMAKE_CURRENT_LIST_DIR}/plugins/outside.cmake)
add_executable(test_plugin_outside unit/test_plugin_outside.c)
target_link_libraries(test_plugin_outside PRIVATE plugin_loader sallyport_flags)

sallyport_fuzz(fuzz/fuzz_worker.c worker_frames)
sallyport_test(unit/test_plugin_http.c host PkgConfig::TLS)
sallyport_fuzz(fuzz/fuzz_elf_note.c plugin_loader)
if(TARGET fuzz_elf_note)
  target_compile_definitions(fuzz_elf_note PRIVATE TEMPLATE_SO="$<TARGET_FILE:template>")
  add_dependencies(fuzz_elf_note template)
endif()
