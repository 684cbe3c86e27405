// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.assigned;

import org.jspecify.annotations.NullMarked;
