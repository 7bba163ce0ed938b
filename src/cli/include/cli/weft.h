/* The command line of the node: `weft VERB ...` (spec/node.md 2). */
#ifndef CLI_WEFT_H
#define CLI_WEFT_H

/* Runs the program; returns its exit status. */
int weft_main(int argc, char **argv);

/* Where daemon and command line meet unless told otherwise. */
const char *weft_default_socket(void);

#endif
