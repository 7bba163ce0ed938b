/* weft-control: the control server and its administration. */
#include "server/cli.h"

extern char **environ;

int main(int argc, char **argv) { return cli_main(argc, argv, environ); }
