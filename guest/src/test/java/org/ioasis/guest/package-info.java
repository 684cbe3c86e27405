// SPDX-License-Identifier: Apache-2.0
/**
 * Tests with a real VMM and a real guest: slow, one at a time, and failing where they cannot run.
 */
@NullMarked
package org.ioasis.guest;

import org.jspecify.annotations.NullMarked;
