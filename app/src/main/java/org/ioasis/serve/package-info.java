// SPDX-License-Identifier: Apache-2.0
/**
 * The devices for VMMs that somebody else starts: machines by configuration, and what to tell QEMU.
 */
@NullMarked
package org.ioasis.serve;

import org.jspecify.annotations.NullMarked;
