/* The main actions of Stripe's API, as its reference names them: those that support, billing
 * and reporting services call, and those that give power away. Not the whole API: an action
 * that is missing here can still be allowed by method and path. */
#include "catalogue.h"

#include <sallyport/catalogue.h>

#define ESCALATES SALLYPORT_ACTION_ESCALATES
#define PAGE "query.limit:integer query.starting_after:string query.ending_before:string"

/* clang-format off */
static const struct sallyport_row rows[] = {
    {"balance.retrieve", "GET", "/v1/balance", "", 0},
    {"balance_transactions.list", "GET", "/v1/balance_transactions", PAGE, 0},
    {"balance_transactions.retrieve", "GET", "/v1/balance_transactions/{id}", "", 0},

    {"charges.list", "GET", "/v1/charges", "query.customer:string " PAGE, 0},
    {"charges.create", "POST", "/v1/charges",
     "body.amount:integer body.currency:string body.customer:string body.source:string "
     "body.capture:boolean body.description:string body.metadata:object", 0},
    {"charges.retrieve", "GET", "/v1/charges/{charge}", "", 0},
    {"charges.update", "POST", "/v1/charges/{charge}",
     "body.customer:string body.description:string body.metadata:object", 0},
    {"charges.capture", "POST", "/v1/charges/{charge}/capture", "body.amount:integer", 0},

    {"refunds.list", "GET", "/v1/refunds", "query.charge:string query.payment_intent:string " PAGE, 0},
    {"refunds.create", "POST", "/v1/refunds",
     "body.charge:string body.payment_intent:string body.amount:integer body.reason:string "
     "body.refund_application_fee:boolean body.reverse_transfer:boolean body.metadata:object", 0},
    {"refunds.retrieve", "GET", "/v1/refunds/{refund}", "", 0},
    {"refunds.update", "POST", "/v1/refunds/{refund}", "body.metadata:object", 0},
    {"refunds.cancel", "POST", "/v1/refunds/{refund}/cancel", "", 0},

    {"customers.list", "GET", "/v1/customers", "query.email:string " PAGE, 0},
    {"customers.search", "GET", "/v1/customers/search", "query.query:string query.limit:integer", 0},
    {"customers.create", "POST", "/v1/customers",
     "body.email:string body.name:string body.description:string body.source:string "
     "body.metadata:object", 0},
    {"customers.retrieve", "GET", "/v1/customers/{customer}", "", 0},
    {"customers.update", "POST", "/v1/customers/{customer}",
     "body.email:string body.name:string body.description:string body.default_source:string "
     "body.balance:integer body.metadata:object", 0},
    {"customers.delete", "DELETE", "/v1/customers/{customer}", "", 0},

    {"payment_intents.list", "GET", "/v1/payment_intents", "query.customer:string " PAGE, 0},
    {"payment_intents.create", "POST", "/v1/payment_intents",
     "body.amount:integer body.currency:string body.customer:string body.payment_method:string "
     "body.confirm:boolean body.capture_method:string body.metadata:object", 0},
    {"payment_intents.retrieve", "GET", "/v1/payment_intents/{intent}", "", 0},
    {"payment_intents.confirm", "POST", "/v1/payment_intents/{intent}/confirm",
     "body.payment_method:string body.return_url:string", 0},
    {"payment_intents.capture", "POST", "/v1/payment_intents/{intent}/capture",
     "body.amount_to_capture:integer", 0},
    {"payment_intents.cancel", "POST", "/v1/payment_intents/{intent}/cancel",
     "body.cancellation_reason:string", 0},

    {"subscriptions.list", "GET", "/v1/subscriptions", "query.customer:string query.status:string " PAGE, 0},
    {"subscriptions.create", "POST", "/v1/subscriptions",
     "body.customer:string body.items:array body.trial_period_days:integer", 0},
    {"subscriptions.retrieve", "GET", "/v1/subscriptions/{id}", "", 0},
    {"subscriptions.cancel", "DELETE", "/v1/subscriptions/{id}",
     "body.invoice_now:boolean body.prorate:boolean", 0},

    {"invoices.list", "GET", "/v1/invoices", "query.customer:string query.status:string " PAGE, 0},
    {"invoices.retrieve", "GET", "/v1/invoices/{invoice}", "", 0},
    {"invoices.pay", "POST", "/v1/invoices/{invoice}/pay", "body.source:string body.paid_out_of_band:boolean", 0},
    {"invoices.void", "POST", "/v1/invoices/{invoice}/void", "", 0},

    {"products.list", "GET", "/v1/products", PAGE, 0},
    {"prices.list", "GET", "/v1/prices", "query.product:string " PAGE, 0},
    {"disputes.list", "GET", "/v1/disputes", "query.charge:string " PAGE, 0},
    {"disputes.close", "POST", "/v1/disputes/{dispute}/close", "", 0},
    {"events.list", "GET", "/v1/events", "query.type:string " PAGE, 0},
    {"events.retrieve", "GET", "/v1/events/{id}", "", 0},
    {"files.create", "POST", "/v1/files", "", 0},

    {"payouts.list", "GET", "/v1/payouts", PAGE, 0},
    {"payouts.create", "POST", "/v1/payouts",
     "body.amount:integer body.currency:string body.destination:string", ESCALATES},
    {"transfers.create", "POST", "/v1/transfers",
     "body.amount:integer body.currency:string body.destination:string", ESCALATES},

    {"webhook_endpoints.list", "GET", "/v1/webhook_endpoints", PAGE, 0},
    {"webhook_endpoints.create", "POST", "/v1/webhook_endpoints",
     "body.url:string body.enabled_events:array body.connect:boolean", ESCALATES},
    {"webhook_endpoints.update", "POST", "/v1/webhook_endpoints/{webhook_endpoint}",
     "body.url:string body.enabled_events:array body.disabled:boolean", ESCALATES},
    {"webhook_endpoints.delete", "DELETE", "/v1/webhook_endpoints/{webhook_endpoint}", "", 0},
    {"accounts.create", "POST", "/v1/accounts", "body.type:string body.country:string body.email:string", ESCALATES},
    {"account_links.create", "POST", "/v1/account_links",
     "body.account:string body.refresh_url:string body.return_url:string body.type:string", ESCALATES},
    {"external_accounts.create", "POST", "/v1/accounts/{account}/external_accounts",
     "body.external_account:string body.default_for_currency:boolean", ESCALATES},
    {"ephemeral_keys.create", "POST", "/v1/ephemeral_keys", "body.customer:string", ESCALATES},
    {"billing_portal.sessions.create", "POST", "/v1/billing_portal/sessions",
     "body.customer:string body.return_url:string", ESCALATES},
};
/* clang-format on */

int32_t stripe_push_actions(const struct sallyport_host *host, uint64_t call)
{
    return sallyport_push_rows(host, call, rows, sizeof rows / sizeof *rows);
}
