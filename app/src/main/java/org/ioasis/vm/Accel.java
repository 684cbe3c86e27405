// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

/** How QEMU runs the guest's instructions. Any thread. */
public enum Accel {
    /** The host's processor, by /dev/kvm. */
    KVM,
    /** Translation in QEMU: works everywhere. */
    TCG
}
