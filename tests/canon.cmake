# The canonical form: texts, arenas, buffers, forms, hosts, URLs.
foreach(name text arena buf form host url request)
  sallyport_test(unit/test_${name}.c policy)
endforeach()
# These two fail the modules' allocations, one by one.
target_link_options(test_arena PRIVATE -Wl,--wrap=malloc)
target_link_options(test_buf PRIVATE -Wl,--wrap=malloc)
sallyport_test(property/test_url_oracle.c policy)
sallyport_fuzz(fuzz/fuzz_url.c policy)

# The oracle is another implementation in another language: npm's qs.
add_executable(form_dump property/form_dump.c)
target_link_libraries(form_dump PRIVATE policy sallyport_flags)
add_test(NAME test_form_oracle
         COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/property/test_form_oracle.py
                 $<TARGET_FILE:form_dump>)
set_tests_properties(test_form_oracle PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
