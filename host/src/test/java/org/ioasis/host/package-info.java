// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.host;

import org.jspecify.annotations.NullMarked;
