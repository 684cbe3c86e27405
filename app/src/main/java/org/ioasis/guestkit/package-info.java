// SPDX-License-Identifier: Apache-2.0
/**
 * What a guest needs to boot on this machine: a QEMU that speaks vfio-user, a Linux kernel, a
 * userland, and the initramfs that puts the last two together. Found on the machine, or taken from
 * Debian packages into a cache folder of the user, without root.
 */
@NullMarked
package org.ioasis.guestkit;

import org.jspecify.annotations.NullMarked;
