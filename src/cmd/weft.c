/* weft: the command line of the node. */
#include "cli/weft.h"

int main(int argc, char **argv)
{
        return weft_main(argc, argv);
}
