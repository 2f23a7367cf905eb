# Install the SDK into an empty prefix, copy the template into an empty folder, build it there by
# CMake and by pkg-config, and load both.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGN}\n${out}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
execute_process(COMMAND chmod go-w ${WORK})
run(${CMAKE_COMMAND} -S ${SOURCE}/plugins/sdk -B ${WORK}/sdk -DCMAKE_C_COMPILER=${CC}
    -DCMAKE_INSTALL_PREFIX=${WORK}/prefix -DCMAKE_INSTALL_LIBDIR=lib)
run(${CMAKE_COMMAND} --install ${WORK}/sdk)
file(COPY ${SOURCE}/plugins/template/ DESTINATION ${WORK}/mine)
run(${CMAKE_COMMAND} -S ${WORK}/mine -B ${WORK}/mine/build -DCMAKE_C_COMPILER=${CC}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/mine/build)
set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/lib/pkgconfig)
run(sh -c "${CC} $(pkg-config --cflags sallyport-plugin) ${WORK}/mine/template.c \
     $(pkg-config --libs sallyport-plugin) -o ${WORK}/mine/by-pkg-config.so")
run(chmod -R go-w ${WORK}/mine)
run(${LOADER} ${WORK}/mine/build/template.so)
run(${LOADER} ${WORK}/mine/by-pkg-config.so)
