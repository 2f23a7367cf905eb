# The program that `sallyport plugin check` starts for each of its tests.
add_executable(sallyport-plugin-probe
  ${CMAKE_CURRENT_LIST_DIR}/alloc.c ${CMAKE_CURRENT_LIST_DIR}/hooks.c ${CMAKE_CURRENT_LIST_DIR}/keys.c
  ${CMAKE_CURRENT_LIST_DIR}/main.c ${CMAKE_CURRENT_LIST_DIR}/tests.c
  ${CMAKE_CURRENT_LIST_DIR}/../worker/sandbox.c)
target_include_directories(sallyport-plugin-probe PRIVATE ${CMAKE_CURRENT_LIST_DIR}/../worker)
target_link_libraries(sallyport-plugin-probe PRIVATE
  plugin_loader Sallyport::PluginSDK PkgConfig::SODIUM PkgConfig::SECCOMP sallyport_flags
  ${CMAKE_DL_LIBS} -Wl,--no-as-needed -lm -lgcc_s)
# A plugin's malloc is to be this program's.
target_link_options(sallyport-plugin-probe PRIVATE -pie
  -Wl,--export-dynamic-symbol=malloc,--export-dynamic-symbol=calloc,--export-dynamic-symbol=realloc)
install(TARGETS sallyport-plugin-probe RUNTIME DESTINATION ${SALLYPORT_WORKER_DIR})
