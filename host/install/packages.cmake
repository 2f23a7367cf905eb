# What is installed besides programs, and the Debian packages (`cmake --preset package`, then
# `host/install/package`). Components are packages: `host` is sallyport, `plugin_dev` what plugins
# are built with. Nothing in here runs at another time than the build: what is packed is what
# `cmake --install` installs.
set(INSTALL_FROM ${PROJECT_SOURCE_DIR}/host/install)
set(PACKAGE_DOC ${CMAKE_INSTALL_DATADIR}/doc/sallyport)

# gzip -n writes neither name nor time, so the same page gives the same bytes.
find_program(GZIP gzip REQUIRED)
function(install_compressed source name destination component)
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/packed/${component}/${name}.gz
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/packed/${component}
    COMMAND ${GZIP} -9nc ${source} > ${PROJECT_BINARY_DIR}/packed/${component}/${name}.gz
    DEPENDS ${source} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY PACKED ${PROJECT_BINARY_DIR}/packed/${component}/${name}.gz)
  install(FILES ${PROJECT_BINARY_DIR}/packed/${component}/${name}.gz
          DESTINATION ${destination} COMPONENT ${component})
endfunction()

install_compressed(${INSTALL_FROM}/sallyport.1 sallyport.1 ${CMAKE_INSTALL_MANDIR}/man1 host)
install_compressed(${INSTALL_FROM}/sallyport.conf.5 sallyport.conf.5
                   ${CMAKE_INSTALL_MANDIR}/man5 host)
install_compressed(${INSTALL_FROM}/sallyportd.8 sallyportd.8 ${CMAKE_INSTALL_MANDIR}/man8 host)

# The C client library is a package where it is built.
set(COMPONENTS host plugin_dev)
if(TARGET sallyport_shared)
  list(APPEND COMPONENTS client-c)
endif()
set(PACKAGE_OF_host sallyport)
set(PACKAGE_OF_plugin_dev sallyport-plugin-dev)
set(PACKAGE_OF_client-c libsallyport-dev)
foreach(component ${COMPONENTS})
  set(doc ${CMAKE_INSTALL_DATADIR}/doc/${PACKAGE_OF_${component}})
  install_compressed(${PROJECT_SOURCE_DIR}/CHANGELOG.md changelog ${doc} ${component})
  install_compressed(${INSTALL_FROM}/debian/changelog changelog.Debian ${doc} ${component})
  install(FILES ${INSTALL_FROM}/debian/copyright DESTINATION ${doc} COMPONENT ${component})
endforeach()

option(SALLYPORT_SBOM "Write and install the bill of materials (needs python3 and dpkg)" OFF)
if(SALLYPORT_SBOM)
  find_program(PYTHON python3 REQUIRED)
  set(SBOM ${PROJECT_BINARY_DIR}/sallyport.spdx.json)
  set(PROGRAMS sallyportd sallyport sallyport-worker sallyport-plugin-probe)
  foreach(program ${PROGRAMS})
    list(APPEND PROGRAM_FILES $<TARGET_FILE:${program}>)
  endforeach()
  add_custom_command(OUTPUT ${SBOM}
    COMMAND ${PYTHON} -B ${INSTALL_FROM}/sbom --version ${PROJECT_VERSION} --out ${SBOM}
            --compiled-in node-llhttp ${PROGRAM_FILES}
    DEPENDS ${INSTALL_FROM}/sbom ${PROGRAMS} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY PACKED ${SBOM})
  install(FILES ${SBOM} DESTINATION ${PACKAGE_DOC} COMPONENT host)
endif()
get_property(PACKED GLOBAL PROPERTY PACKED)
add_custom_target(packed ALL DEPENDS ${PACKED})

install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/ DESTINATION ${PACKAGE_DOC}/examples
        COMPONENT host FILES_MATCHING PATTERN "*.scope")
configure_file(${INSTALL_FROM}/sallyport.conf.in ${PROJECT_BINARY_DIR}/packed/sallyport.conf @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/packed/sallyport.conf
        DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/sallyport COMPONENT host)
install(DIRECTORY DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/sallyport/policy COMPONENT host)

# ---- Debian ---------------------------------------------------------------------------------
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sallyport)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The sallyport maintainers <sallyport@packages.debian.org>")
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_SET_DESTDIR ON) # /etc lies outside of the prefix
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL ${COMPONENTS})
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(CPACK_DEBIAN_HOST_PACKAGE_NAME sallyport)
set(CPACK_DEBIAN_HOST_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_HOST_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_HOST_PACKAGE_DEPENDS "adduser, ca-certificates")
set(CPACK_COMPONENT_HOST_DESCRIPTION "broker that keeps API keys from those who use them
The host holds the keys. Clients get short-lived tokens whose scope is
frozen at issue; every call goes through the host, which checks it, puts
the key in, and sends it on.

Installing starts nothing: `sallyport init` sets a host up.")
set(CPACK_DEBIAN_HOST_PACKAGE_CONTROL_EXTRA
  "${INSTALL_FROM}/debian/postinst;${INSTALL_FROM}/debian/prerm;${INSTALL_FROM}/debian/postrm;${PROJECT_BINARY_DIR}/packed/conffiles")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/packed/conffiles
     CONTENT "${CMAKE_INSTALL_FULL_SYSCONFDIR}/sallyport/sallyport.conf\n")

set(CPACK_DEBIAN_PLUGIN_DEV_PACKAGE_NAME sallyport-plugin-dev)
set(CPACK_DEBIAN_PLUGIN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_PLUGIN_DEV_DESCRIPTION "what provider plugins for sallyport are built with
The header, a CMake package, a pkg-config file, and a template that
compiles.")
set(CPACK_DEBIAN_CLIENT-C_PACKAGE_NAME libsallyport-dev)
set(CPACK_DEBIAN_CLIENT-C_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_CLIENT-C_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON) # programs linked to it get the dependency
set(CPACK_DEBIAN_CLIENT-C_PACKAGE_CONTROL_EXTRA "${INSTALL_FROM}/debian/triggers")
set(CPACK_COMPONENT_CLIENT-C_DESCRIPTION "client library of sallyport for C
For programs that ask a host for tokens and make calls through it: the
header, the library shared and static, a CMake package and a pkg-config
file.")

install(FILES ${INSTALL_FROM}/debian/lintian-overrides RENAME sallyport-plugin-dev
        DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides COMPONENT plugin_dev)
include(CPack)
