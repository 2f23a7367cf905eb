/* `until "2026-11-23T18:00:00Z"`: RFC 3339 in UTC, to the second or the millisecond. */
#include "parser.h"

static bool digits(struct sp_text text, size_t at, size_t n, int64_t *ret_number)
{
    int64_t number = 0;
    for (size_t i = at; i < at + n; i++) {
        if (i >= text.len || text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    *ret_number = number;
    return true;
}

static bool is_at(struct sp_text text, size_t at, char c)
{
    return at < text.len && text.ptr[at] == c;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar: years are counted from March, so
 * that the leap day is a year's last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool time_parse(struct sp_text t, uint64_t *ret_ms)
{
    int64_t year, month, day, hour, minute, second, ms = 0;
    if (!digits(t, 0, 4, &year) || !is_at(t, 4, '-') || !digits(t, 5, 2, &month) ||
        !is_at(t, 7, '-') || !digits(t, 8, 2, &day) || !is_at(t, 10, 'T') ||
        !digits(t, 11, 2, &hour) || !is_at(t, 13, ':') || !digits(t, 14, 2, &minute) ||
        !is_at(t, 16, ':') || !digits(t, 17, 2, &second)) {
        return false;
    }
    size_t end = 19;
    if (is_at(t, end, '.')) {
        if (!digits(t, end + 1, 3, &ms)) {
            return false;
        }
        end += 4;
    }
    if (!is_at(t, end, 'Z') || t.len != end + 1 || year < 1970 || month < 1 || month > 12 ||
        day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 59) {
        return false;
    }
    *ret_ms =
        (uint64_t)((((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) *
                       1000 +
                   ms);
    return true;
}

bool parse_until(struct parser *p, uint64_t *ret_until_ms)
{
    struct sp_text text = {NULL, 0};
    if (*ret_until_ms != 0) {
        return parser_error(p, "E070", NULL, "a second `until` belongs nowhere");
    }
    if (p->token.kind == TOKEN_STRING) {
        text = (struct sp_text){p->token.text.ptr + 1, p->token.text.len - 2};
    }
    if (!time_parse(text, ret_until_ms)) {
        return parser_error(p, "E070", "until \"2026-11-23T18:00:00Z\"",
                            "a time in UTC belongs behind until");
    }
    parser_advance(p);
    return true;
}
