"""The documentation, held to the product: every snippet runs, every name and figure in it exists, every link leads on.

`markdown` reads pages, `session` runs a page's blocks in the `terminal`s that it needs, `transcript` compares what it
shows with what happened, `generated` makes the pages that are made from the program.

A fence's info string says what its block is:

    console                  `$ commands`, `> ` going on, and what they print; in one shell for the whole page
    console terminal=NAME    a program that goes on running in a terminal of its own, until `^C` or the next one there;
                             without a `$ `, what it says further on
    console exit=N           its last command ends with that code; all others must end with 0
    sh                       commands whose output is not shown, or in the `output` block behind it
    python, js               a program; run, unless it has a title
    LANGUAGE title=FILE      a file, there from then on
    json output, text output what the block before it prints
    json body="POST /v1/…"   a request that the API must take
    json event=TYPE          data of an event that it must take
    cel on=TYPE at=INSTANT   a filter that is true of the type's example (`nomatch`: false) at that time, or now
    cel refused              what is none
    norun="why"              nothing runs it, and the reason; it is parsed where that can be done

In a command, `tsn_…` is the last key that was shown, and so are `whsec_…`, `wh_…` and the others; an id that a page
shows in full is the one that stood in its place. Ports are others than those of the page, the same everywhere on it.
"""
