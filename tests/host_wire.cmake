# Tests of the wire (host/wire.cmake).
if(NOT TARGET wire)
  include(${PROJECT_SOURCE_DIR}/host/wire.cmake)
endif()
sallyport_test(unit/test_wire.c wire)
sallyport_test(unit/test_message.c wire)
sallyport_test(unit/test_reply.c wire)
sallyport_test(unit/test_protocol.c wire)
sallyport_test(unit/test_zap.c wire PkgConfig::ZMQ Threads::Threads)
sallyport_test(unit/test_zap_guard.c wire PkgConfig::ZMQ Threads::Threads)

# The oracle is another implementation in another language: Debian's python3-msgpack.
add_executable(wire_dump property/wire_dump.c)
target_link_libraries(wire_dump PRIVATE wire sallyport_flags)
add_test(NAME test_wire_oracle
         COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/property/test_wire_oracle.py
                 $<TARGET_FILE:wire_dump>)
set_tests_properties(test_wire_oracle PROPERTIES TIMEOUT 300)

sallyport_fuzz(fuzz/fuzz_wire.c wire)
sallyport_fuzz(fuzz/fuzz_message.c wire)
