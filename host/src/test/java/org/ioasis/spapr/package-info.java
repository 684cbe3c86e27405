// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.spapr;

import org.jspecify.annotations.NullMarked;
