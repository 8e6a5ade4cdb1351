"""The story of a change, from whoever made it to everybody who must know.

    intake   a till's sale wakes us: the levels it names are read again, in one commit with the bookmark
    orders   a storefront's order becomes the next step of each of its lines
    org_counts  stock counts made as records in the org, taken up and answered; others' copied there
    org_orders  orders that live in the org, read again whenever a part of them changes
    transfers   goods on their way between locations: two movements together, in transit meanwhile
    lateness    what a stock count had already seen is entered with its compensation
    counts      a stock count: what was counted less what the ledger knew of that moment
    tills       what a concession's till reports: postings, each line of a receipt once
    till_places  the folder that it reports by, and the file that says what it may sell
    desk     a storefront asks before its customer pays: a reservation, granted or refused by the org
    writer   waiting movements go to the org in group commits; answers settle what waited
    levels   newer numbers replace older ones; what they uncover becomes an incident
    resolving   the ways out of an incident that a person takes, each once: elsewhere, wait, cancel, accept
    cancelling  orders cancelled at their channel, watched until it is done
    proving     what a channel has confirmed is read again: it must show it
    shelf    levels and policy give what each channel should show
    relay    what a channel shows is brought to what it should, bad news first
    callbacks   the same for storefronts that are only told: numbered, and the newest only
    alerting     what people should know goes out to whoever is to be woken
    catching_up  those numbers for whoever was away, in the order of their changes
    careful  channels that take plain numbers only: orders first, lower at once, raise slowly
    reconcile  the org read whole, and what channels show taken over as the baseline
    moving     a channel that means another shop or place than its numbers are of: read anew, weighed
    comparing  what a page of a channel's listing reveals, with causes
    resync     both compared on a person's wish: planned, looked at, put right
    letters    what was set aside, by cause; tried again, or dropped with a name and a reason
    drift      both compared all the time, cheaply: by sums, and by sample
    hints      what channels say of their own numbers: a reason to look, never a number to believe

Each loop works off the store: what is not finished when the process dies is found there by the next one. A
`Bell` only saves waiting; a lost ring is a delay of seconds, never a loss.
"""
