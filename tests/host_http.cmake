# Tests of the HTTP front door's pure parts (host/http.cmake).
if(NOT TARGET http)
  include(${PROJECT_SOURCE_DIR}/host/http.cmake)
endif()
sallyport_test(unit/test_http_read.c http)
sallyport_test(unit/test_http_call.c http)
sallyport_test(unit/test_http_answer.c http)
sallyport_test(unit/test_metrics.c host)

sallyport_fuzz(fuzz/fuzz_http.c http)
