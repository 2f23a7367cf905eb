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
sallyport_test(unit/test_rows.c engine PkgConfig::SQLITE)
# An engine that a test drives step by step.
add_library(engine_kit STATIC unit/engine_kit.c)
target_include_directories(engine_kit PUBLIC ${CMAKE_CURRENT_LIST_DIR} ${CMAKE_CURRENT_LIST_DIR}/unit)
target_link_libraries(engine_kit PUBLIC engine PkgConfig::CMOCKA PRIVATE sallyport_flags)
sallyport_test(unit/test_engine_faults.c engine_kit PkgConfig::SODIUM PkgConfig::SQLITE)
foreach(name malloc calloc realloc strdup strndup sodium_malloc sp_arena_alloc sp_arena_array sp_arena_copy
        pthread_create sqlite3_step sqlite3_prepare_v2 sqlite3_prepare_v3 sqlite3_exec sqlite3_open_v2
        sqlite3_backup_init sqlite3_backup_step open write read pread fsync fdatasync ftruncate fstat rename
        link mkdir)
  target_link_options(test_engine_faults PRIVATE -Wl,--wrap=${name})
endforeach()
sallyport_test(unit/test_engine_refusals.c engine_kit PkgConfig::SODIUM)
sallyport_fuzz(fuzz/fuzz_token.c engine)
sallyport_fuzz(fuzz/fuzz_caveat.c engine)
sallyport_fuzz(fuzz/fuzz_audit.c engine)
