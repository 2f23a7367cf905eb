# The engine: tokens, rates, audit, store, and the whole behind engine.h.
sallyport_test(unit/test_token.c engine)
target_link_options(test_token PRIVATE -Wl,--wrap=malloc)
sallyport_test(unit/test_rate.c engine)
target_link_options(test_rate PRIVATE -Wl,--wrap=calloc)
sallyport_test(unit/test_keyring.c engine PkgConfig::SQLITE)
target_link_options(test_keyring PRIVATE -Wl,--wrap=malloc -Wl,--wrap=calloc
                    -Wl,--wrap=sodium_malloc -Wl,--wrap=crypto_pwhash -Wl,--wrap=sqlite3_step)
sallyport_test(unit/test_budget.c engine PkgConfig::SQLITE)
sallyport_test(unit/test_audit.c engine)
sallyport_test(unit/test_sealed.c engine)
sallyport_test(unit/test_engine.c engine PkgConfig::SQLITE)
sallyport_fuzz(fuzz/fuzz_token.c engine)
sallyport_fuzz(fuzz/fuzz_audit.c engine)
