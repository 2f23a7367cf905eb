/* For the analysers alone, which see one file at a time: sp_fail returns the status it is
 * given. Without this each `return sp_fail(…)` looks as if it might succeed and leave results
 * unset. */
#include "../../policy-lang/status.h"
#define sp_fail(err, status, ...) ((sp_fail)(err, status, __VA_ARGS__), (status))
