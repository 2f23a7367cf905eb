# The scope language: the compiler, the matcher, canonical text, inclusion.
sallyport_test(unit/test_scope_files.c policy)
sallyport_fuzz(fuzz/fuzz_policy.c policy)
