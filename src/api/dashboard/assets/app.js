// The modules of the page follow.
