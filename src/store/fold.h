/* SPDX-License-Identifier: MIT */
/* Folding of names and display names for searching, on utf8proc. */
#ifndef STORE_FOLD_H
#define STORE_FOLD_H

#include "base/slice.h"

/* Case, width and the like taken away (NFKC_Casefold); what is not UTF-8 stays as it is. */
void text_fold(slice text, slice *ret_folded);
void text_fold_free(slice *folded);

#endif
