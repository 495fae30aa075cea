/* SPDX-License-Identifier: MIT */
/* Functions that this project does not call; included by the compiler's command line in every file.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Its macros name some of them; set for the files that speak to MariaDB's library themselves. */
#ifdef CONFAB_INCLUDES_MYSQL
#include <mysql.h>
#endif

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets atoi atol localtime  \
    gmtime

#endif
