// SPDX-License-Identifier: Apache-2.0
/** Tests of the allocator of ids, and the models they use. */
@NullMarked
package org.ioasis.ioasid;

import org.jspecify.annotations.NullMarked;
