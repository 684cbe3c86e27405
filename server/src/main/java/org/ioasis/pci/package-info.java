// SPDX-License-Identifier: Apache-2.0
/** PCI functions: configuration space, BARs, MSI-X, and the virtio transport on them. */
@NullMarked
package org.ioasis.pci;

import org.jspecify.annotations.NullMarked;
