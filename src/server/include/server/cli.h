/*
 * The administrator's command line, `weft-control`: headscale's verbs, flags, tables
 * and JSON (spec/server.md, section 2).
 */
#ifndef SERVER_CLI_H
#define SERVER_CLI_H

/* main() of weft-control; env as main() gets it. Returns the exit status. */
int cli_main(int argc, char **argv, char **env);

#endif
