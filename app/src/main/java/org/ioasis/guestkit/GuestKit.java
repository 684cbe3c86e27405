// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.nio.file.Path;

/**
 * All that a guest boots from: the VMM, the kernel, a static busybox, and the folder in which
 * things worth knowing in the next run may be kept. Any thread.
 */
public record GuestKit(Qemu qemu, Kernel kernel, Path busybox, Path cache) {}
