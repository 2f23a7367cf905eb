# The scope language: the compiler, the matcher, canonical text, inclusion.
sallyport_test(unit/test_diag.c policy)
sallyport_test(unit/test_lexer.c policy)
sallyport_test(unit/test_parser.c policy)
sallyport_test(unit/test_scope_files.c policy)
sallyport_test(unit/test_blast.c policy)
sallyport_test(unit/test_changes.c policy)
sallyport_test(unit/test_cover.c policy)
sallyport_test(unit/test_nearest.c policy)
sallyport_test(unit/test_check.c policy)
sallyport_test(unit/test_escalates.c policy)
sallyport_test(unit/test_match.c policy)
target_link_options(test_match PRIVATE
  -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=sp_text_eq_fold)
sallyport_test(unit/test_matcher.c policy)
target_include_directories(test_matcher PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
target_link_options(test_matcher PRIVATE
  -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc)
sallyport_test(unit/test_decide_threads.c policy Threads::Threads)
sallyport_test(unit/test_scope_text.c policy)
sallyport_test(unit/test_inclusion.c policy)
target_include_directories(test_inclusion PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
foreach(name pattern_covers pattern_overlaps match_segment)
  target_link_options(test_inclusion PRIVATE -Wl,--wrap=${name})
endforeach()
sallyport_test(unit/test_edges.c policy)
target_include_directories(test_edges PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
sallyport_test(unit/test_check_edges.c policy)
target_include_directories(test_check_edges PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
# Every allocation of the compiler, of inclusion and of the matcher fails, one by one.
sallyport_test(unit/test_memory.c policy)
target_include_directories(test_memory PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
foreach(name malloc calloc realloc sp_arena_alloc sp_arena_array sp_arena_copy room_for words_add)
  target_link_options(test_memory PRIVATE -Wl,--wrap=${name})
endforeach()
sallyport_fuzz(fuzz/fuzz_policy.c policy)
if(SALLYPORT_FUZZ)
  target_include_directories(fuzz_policy PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
endif()

# Random scopes and requests, with an evaluator of their own.
add_library(policy_gen STATIC
  property/gen_scope.c property/gen_request.c property/gen_oracle.c)
target_include_directories(policy_gen PUBLIC ${CMAKE_CURRENT_LIST_DIR}/property)
target_link_libraries(policy_gen PUBLIC policy PRIVATE sallyport_flags)
# Every form of a scope against that evaluator: by chance, and as libFuzzer chooses.
add_library(policy_judge STATIC property/judge.c)
target_include_directories(policy_judge PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
target_link_libraries(policy_judge PUBLIC policy_gen PRIVATE sallyport_flags)
sallyport_test(property/test_match_oracle.c policy_judge)
sallyport_fuzz(fuzz/fuzz_match.c policy_judge)
sallyport_test(property/test_scope_laws.c policy_gen)
sallyport_test(property/test_nearest_laws.c policy_gen)
sallyport_test(property/test_partial_laws.c policy_gen)
sallyport_test(property/test_inclusion_universe.c policy_gen)
target_sources(test_inclusion_universe PRIVATE property/universe.c property/universe_scope.c)
set_tests_properties(test_inclusion_universe PROPERTIES TIMEOUT 900)

# The manual, its grammar and its examples against the compiler itself.
add_executable(check_dump property/check_dump.c)
target_link_libraries(check_dump PRIVATE policy sallyport_flags)
target_include_directories(check_dump PRIVATE ${PROJECT_SOURCE_DIR}/policy-lang/syntax)
add_test(NAME test_grammar
         COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/property/test_grammar.py
                 $<TARGET_FILE:check_dump> ${PROJECT_SOURCE_DIR})
set_tests_properties(test_grammar PROPERTIES TIMEOUT 300)
add_test(NAME test_manual
         COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/property/test_manual.py
                 $<TARGET_FILE:check_dump> ${PROJECT_SOURCE_DIR})

# The formatter: what it prints reads as what it was given, and formats to itself.
sallyport_test(unit/test_fmt.c policy)
sallyport_fuzz(fuzz/fuzz_fmt.c policy)
add_executable(fmt_dump property/fmt_dump.c)
target_link_libraries(fmt_dump PRIVATE policy sallyport_flags)
add_test(NAME test_fmt_oracle
         COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/property/test_fmt_oracle.py
                 $<TARGET_FILE:fmt_dump> ${PROJECT_SOURCE_DIR})
set_tests_properties(test_fmt_oracle PROPERTIES TIMEOUT 300)
