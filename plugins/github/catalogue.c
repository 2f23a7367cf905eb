/* The main actions of GitHub's REST API, by the operation ids of its published description. Not
 * the whole API: an action that is missing here can still be allowed by method and path. */
#include "catalogue.h"

#include <sallyport/catalogue.h>

#define ESCALATES SALLYPORT_ACTION_ESCALATES
#define PAGE "query.per_page:integer query.page:integer"
#define REPO "/repos/{owner}/{repo}"

/* clang-format off */
static const struct sallyport_row rows[] = {
    {"meta/root", "GET", "/", "", 0},
    {"rate-limit/get", "GET", "/rate_limit", "", 0},
    {"users/get-authenticated", "GET", "/user", "", 0},
    {"users/get-by-username", "GET", "/users/{username}", "", 0},
    {"search/issues-and-pull-requests", "GET", "/search/issues", "query.q:string " PAGE, 0},
    {"search/code", "GET", "/search/code", "query.q:string " PAGE, 0},

    {"repos/list-for-org", "GET", "/orgs/{org}/repos", "query.type:string " PAGE, 0},
    {"repos/get", "GET", REPO, "", 0},
    {"repos/update", "PATCH", REPO,
     "body.name:string body.private:boolean body.visibility:string body.archived:boolean "
     "body.default_branch:string", ESCALATES},
    {"repos/delete", "DELETE", REPO, "", 0},
    {"repos/list-branches", "GET", REPO "/branches", PAGE, 0},
    {"repos/list-commits", "GET", REPO "/commits", "query.sha:string query.path:string " PAGE, 0},
    {"repos/get-content", "GET", REPO "/contents/{path}", "query.ref:string", 0},
    {"repos/create-or-update-file-contents", "PUT", REPO "/contents/{path}",
     "body.message:string body.content:string body.sha:string body.branch:string", 0},
    {"repos/delete-file", "DELETE", REPO "/contents/{path}",
     "body.message:string body.sha:string body.branch:string", 0},
    {"repos/list-releases", "GET", REPO "/releases", PAGE, 0},
    {"repos/create-release", "POST", REPO "/releases",
     "body.tag_name:string body.target_commitish:string body.name:string body.draft:boolean", 0},
    {"repos/create-commit-status", "POST", REPO "/statuses/{sha}",
     "body.state:string body.context:string body.description:string", 0},
    {"git/create-ref", "POST", REPO "/git/refs", "body.ref:string body.sha:string", 0},

    {"issues/list-for-repo", "GET", REPO "/issues", "query.state:string query.labels:string " PAGE, 0},
    {"issues/create", "POST", REPO "/issues",
     "body.title:string body.body:string body.labels:array body.assignees:array", 0},
    {"issues/get", "GET", REPO "/issues/{issue_number}", "", 0},
    {"issues/update", "PATCH", REPO "/issues/{issue_number}",
     "body.title:string body.body:string body.state:string body.labels:array", 0},
    {"issues/list-comments", "GET", REPO "/issues/{issue_number}/comments", PAGE, 0},
    {"issues/create-comment", "POST", REPO "/issues/{issue_number}/comments", "body.body:string", 0},
    {"issues/add-labels", "POST", REPO "/issues/{issue_number}/labels", "body.labels:array", 0},
    {"issues/lock", "PUT", REPO "/issues/{issue_number}/lock", "body.lock_reason:string", 0},

    {"pulls/list", "GET", REPO "/pulls", "query.state:string query.base:string " PAGE, 0},
    {"pulls/create", "POST", REPO "/pulls",
     "body.title:string body.head:string body.base:string body.body:string body.draft:boolean", 0},
    {"pulls/get", "GET", REPO "/pulls/{pull_number}", "", 0},
    {"pulls/list-files", "GET", REPO "/pulls/{pull_number}/files", PAGE, 0},
    {"pulls/create-review", "POST", REPO "/pulls/{pull_number}/reviews",
     "body.event:string body.body:string body.comments:array", 0},
    {"pulls/merge", "PUT", REPO "/pulls/{pull_number}/merge",
     "body.merge_method:string body.commit_title:string body.sha:string", 0},

    {"actions/list-workflow-runs-for-repo", "GET", REPO "/actions/runs", "query.branch:string " PAGE, 0},
    {"actions/create-workflow-dispatch", "POST",
     REPO "/actions/workflows/{workflow_id}/dispatches", "body.ref:string body.inputs:object", ESCALATES},
    {"actions/create-or-update-repo-secret", "PUT", REPO "/actions/secrets/{secret_name}",
     "body.encrypted_value:string body.key_id:string", ESCALATES},
    {"actions/create-registration-token-for-repo", "POST",
     REPO "/actions/runners/registration-token", "", ESCALATES},

    {"repos/create-webhook", "POST", REPO "/hooks",
     "body.config:object body.events:array body.active:boolean", ESCALATES},
    {"repos/update-webhook", "PATCH", REPO "/hooks/{hook_id}",
     "body.config:object body.events:array body.active:boolean", ESCALATES},
    {"orgs/create-webhook", "POST", "/orgs/{org}/hooks",
     "body.config:object body.events:array", ESCALATES},
    {"repos/create-deploy-key", "POST", REPO "/keys",
     "body.title:string body.key:string body.read_only:boolean", ESCALATES},
    {"users/create-public-ssh-key-for-authenticated-user", "POST", "/user/keys",
     "body.title:string body.key:string", ESCALATES},
    {"users/create-gpg-key-for-authenticated-user", "POST", "/user/gpg_keys",
     "body.armored_public_key:string", ESCALATES},
    {"repos/add-collaborator", "PUT", REPO "/collaborators/{username}",
     "body.permission:string", ESCALATES},
    {"repos/update-branch-protection", "PUT", REPO "/branches/{branch}/protection",
     "body.required_status_checks:object body.enforce_admins:boolean", ESCALATES},
    {"repos/delete-branch-protection", "DELETE", REPO "/branches/{branch}/protection", "", ESCALATES},
    {"repos/transfer", "POST", REPO "/transfer", "body.new_owner:string body.team_ids:array", ESCALATES},
    {"orgs/set-membership-for-user", "PUT", "/orgs/{org}/memberships/{username}",
     "body.role:string", ESCALATES},
    {"teams/add-or-update-membership-for-user-in-org", "PUT",
     "/orgs/{org}/teams/{team_slug}/memberships/{username}", "body.role:string", ESCALATES},
    {"apps/create-installation-access-token", "POST",
     "/app/installations/{installation_id}/access_tokens",
     "body.repositories:array body.permissions:object", ESCALATES},
};
/* clang-format on */

int32_t github_push_actions(const struct sallyport_host *host, uint64_t call)
{
    return sallyport_push_rows(host, call, rows, sizeof rows / sizeof *rows);
}
