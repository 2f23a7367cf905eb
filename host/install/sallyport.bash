# bash completion for sallyport
_sallyport() {
    local current=${COMP_WORDS[COMP_CWORD]} noun='' word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        -*) ;;
        *) noun=$word; break ;;
        esac
    done
    case $noun in
    key) word='add list show test rotate set remove' ;;
    client) word='keygen add list remove' ;;
    token) word='issue list inspect narrow revoke resume' ;;
    policy) word='blast check diff explain fmt lsp replay test' ;;
    plugin) word='list check pin' ;;
    init) word='--passphrase-file --plugins --listen --settings --user' ;;
    lease) word='list revoke' ;;
    run) word='--scope --arg --ttl --token-in --proxy --ca --' ;;
    audit) word='tail verify' ;;
    '') word='init status doctor unseal seal reload backup restore key client token call check policy plugin lease run audit' ;;
    *) word='' ;;
    esac
    case $noun,$current in
    plugin,-*) word='--list --only --set --secret --fuzz --seed --reproduce --json --help' ;;
    *,-*) word='--dir --endpoint --host-key --key-file --timeout --json --no-color --help --version' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
    [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -F _sallyport sallyport
