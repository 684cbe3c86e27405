// SPDX-License-Identifier: Apache-2.0
/** Which statement of the specification is carried by which test. */
@NullMarked
package org.ioasis.conformance;

import org.jspecify.annotations.NullMarked;
