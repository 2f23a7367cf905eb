# plugin_loader: reads, checks and loads provider plugins, and stands in front of them as
# sp_provider. A library of its own, so that its tests and `sallyport plugin` need no more.
if(NOT TARGET plugin_loader)
  add_library(plugin_loader STATIC
    ${CMAKE_CURRENT_LIST_DIR}/plugin.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_check.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_elf.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_file.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_host.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_key.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_push.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_push_http.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_push_manifest.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_push_plan.c
    ${CMAKE_CURRENT_LIST_DIR}/plugin_push_sign.c
    ${CMAKE_CURRENT_LIST_DIR}/provider.c
    ${CMAKE_CURRENT_LIST_DIR}/sign_names.c)
  target_include_directories(plugin_loader PUBLIC ${CMAKE_CURRENT_LIST_DIR})
  target_link_libraries(plugin_loader
    PUBLIC policy
    PRIVATE sallyport_flags Sallyport::PluginSDK PkgConfig::SODIUM ${CMAKE_DL_LIBS} Threads::Threads)
endif()
