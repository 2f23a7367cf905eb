# The wire: MessagePack reader and writer, requests and replies, the ZAP handler.
add_library(wire STATIC
  ${CMAKE_CURRENT_LIST_DIR}/wire_read.c
  ${CMAKE_CURRENT_LIST_DIR}/wire_fields.c
  ${CMAKE_CURRENT_LIST_DIR}/wire_write.c
  ${CMAKE_CURRENT_LIST_DIR}/message_ops.c
  ${CMAKE_CURRENT_LIST_DIR}/message_read.c
  ${CMAKE_CURRENT_LIST_DIR}/message_write.c
  ${CMAKE_CURRENT_LIST_DIR}/zap.c)
target_include_directories(wire PUBLIC ${CMAKE_CURRENT_LIST_DIR}
                           PRIVATE ${PROJECT_SOURCE_DIR}/engine)
target_link_libraries(wire
  PUBLIC policy engine PkgConfig::SODIUM PkgConfig::UV
  PRIVATE sallyport_flags PkgConfig::MSGPACK PkgConfig::ZMQ Threads::Threads)
