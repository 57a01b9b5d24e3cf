# SPDX-License-Identifier: ISC
# Debian's C xenstored 4.17 where it differs: the case, then why. tests/interop/conformance.sh.
path-special-perms 4.17 lets the permissions of special nodes be set, not asked
path-limit-guest 4.17 lets 2048 bytes pass
path-limit-prefix 4.17 lets 2048 bytes pass
path-limit-dom0 4.17 bounds domain 0 as well
framing-no-nul 4.17 takes a single argument as it comes
framing-two-nuls 4.17 takes a single argument as it comes
framing-nul-inside 4.17 takes a single argument as it comes
framing-empty 4.17 looks at memory that nobody has set, and may die of it
framing-empty-guest 4.17 takes a single argument as it comes
depth newer than 4.17
depth-guest newer than 4.17
depth-empty newer than 4.17
depth-same newer than 4.17
special-depth newer than 4.17
special-release-one newer than 4.17
special-release-all newer than 4.17
death-entries newer than 4.17, which leaves them and takes them for void
death-special newer than 4.17
tx-snapshot has no snapshot: a node is as it is when it is first read
tx-read-only refuses what has only read
tx-blind-write refuses what has only written
tx-siblings refuses what has created in a directory that another created in
tx-vm-starts refuses what has created in a directory that another created in
introduce-page-port newer than 4.17
introduce-bad 4.17 reads numbers by atoi
introduce-in-message keeps the freed beginning of the message
introduced-values 4.17 reads numbers by atoi
domain-path-strict 4.17 reads numbers by atoi
target-errors 4.17 reads numbers by atoi: the domain then targets domain 0
target-dies keeps the dead target's connection, and with it the domain
perms-any newer than 4.17
perms-any-feature newer than 4.17
error-introduce goes on ignoring the ring
error-feature 4.17 sets the error without offering it
reconnect-feature not offered
reconnect not offered
reconnect-message not offered
reconnect-empties not offered
reconnect-error not offered
reconnect-nodes not offered
limit-watches 4.17 says E2BIG
limit-transactions 4.17 lets eleven pass
limit-node-header 4.17 has a larger header
get-feature newer than 4.17
get-feature-errors newer than 4.17
set-feature newer than 4.17
set-feature-errors newer than 4.17
quota-names newer than 4.17
quota-domain newer than 4.17
quota-new newer than 4.17
quota-zero newer than 4.17
quota-errors newer than 4.17
