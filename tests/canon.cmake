# The canonical form: texts, arenas, buffers, forms, hosts, URLs.
sallyport_test(unit/test_text.c policy)
sallyport_test(unit/test_form.c policy)
sallyport_test(unit/test_url.c policy)
sallyport_test(property/test_url_oracle.c policy)
sallyport_fuzz(fuzz/fuzz_url.c policy)
