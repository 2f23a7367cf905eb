# The canonical form: texts, arenas, buffers, forms, hosts, URLs.
foreach(name text arena buf form host url request)
  sallyport_test(unit/test_${name}.c policy)
endforeach()
# These two fail the modules' allocations, one by one.
target_link_options(test_arena PRIVATE -Wl,--wrap=malloc)
target_link_options(test_buf PRIVATE -Wl,--wrap=malloc)
sallyport_test(property/test_url_oracle.c policy)
sallyport_fuzz(fuzz/fuzz_url.c policy)
