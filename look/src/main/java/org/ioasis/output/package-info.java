// SPDX-License-Identifier: Apache-2.0
/** Files that the user names for what is written: nothing that somebody else made is replaced. */
@NullMarked
package org.ioasis.output;

import org.jspecify.annotations.NullMarked;
