# sallyport_add_plugin(NAME SOURCE…): a provider plugin NAME.so that exports its entry point and
# nothing else, and that a sallyport host will load: no RUNPATH, no unresolved symbol.
set(SALLYPORT_PLUGIN_MAP "${CMAKE_CURRENT_LIST_DIR}/sallyport-plugin.map")

function(sallyport_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE Sallyport::PluginSDK)
  set_target_properties(${name} PROPERTIES
    PREFIX ""
    SUFFIX ".so"
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON
    SKIP_BUILD_RPATH ON
    INSTALL_RPATH ""
    LINK_DEPENDS "${SALLYPORT_PLUGIN_MAP}")
  target_link_options(${name} PRIVATE
    "LINKER:--version-script=${SALLYPORT_PLUGIN_MAP}"
    LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack LINKER:--as-needed)
  # With a umask of 002 the host would refuse what was just built: others may write it.
  add_custom_command(TARGET ${name} POST_BUILD VERBATIM
    COMMAND chmod go-w $<TARGET_FILE_DIR:${name}> $<TARGET_FILE:${name}>)
  # A sanitizer's runtime is in the program that loads the plugin, and resolves only then.
  if(NOT SALLYPORT_SANITIZE AND NOT SALLYPORT_FUZZ)
    target_link_options(${name} PRIVATE LINKER:-z,defs)
  endif()
endfunction()
