# Plugins in processes of their own: the host's side, and the program. Both hold the frames and the
# loader; only the program is locked up, and links what a plugin may need, since it can open
# nothing later.
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
set(SALLYPORT_WORKER_DIR ${CMAKE_INSTALL_LIBEXECDIR}/sallyport)

add_library(worker_frames STATIC ${CMAKE_CURRENT_LIST_DIR}/frames.c ${CMAKE_CURRENT_LIST_DIR}/replay.c)
target_include_directories(worker_frames PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(worker_frames PUBLIC plugin_loader wire Sallyport::PluginSDK
                      PRIVATE sallyport_flags)

add_library(worker STATIC ${CMAKE_CURRENT_LIST_DIR}/load.c ${CMAKE_CURRENT_LIST_DIR}/process.c
  ${CMAKE_CURRENT_LIST_DIR}/provider.c)
target_compile_definitions(worker PRIVATE
  SALLYPORT_WORKER="${CMAKE_INSTALL_FULL_LIBEXECDIR}/sallyport/sallyport-worker"
  SALLYPORT_PROBE="${CMAKE_INSTALL_FULL_LIBEXECDIR}/sallyport/sallyport-plugin-probe")
target_link_libraries(worker PUBLIC worker_frames PkgConfig::UV PRIVATE sallyport_flags)

add_executable(sallyport-worker ${CMAKE_CURRENT_LIST_DIR}/main.c ${CMAKE_CURRENT_LIST_DIR}/sandbox.c)
target_link_libraries(sallyport-worker PRIVATE
  worker_frames PkgConfig::SECCOMP sallyport_flags -Wl,--no-as-needed -lm -lgcc_s)
target_link_options(sallyport-worker PRIVATE -pie)
install(TARGETS sallyport-worker RUNTIME DESTINATION ${SALLYPORT_WORKER_DIR})
