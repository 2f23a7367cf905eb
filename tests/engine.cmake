# The engine: tokens, rates, audit, store, and the whole behind engine.h.
sallyport_test(unit/test_token.c engine)
sallyport_test(unit/test_rate.c engine)
sallyport_test(unit/test_budget.c engine PkgConfig::SQLITE)
sallyport_test(unit/test_audit.c engine)
sallyport_test(unit/test_sealed.c engine)
sallyport_test(unit/test_engine.c engine PkgConfig::SQLITE)
sallyport_fuzz(fuzz/fuzz_token.c engine)
sallyport_fuzz(fuzz/fuzz_audit.c engine)
