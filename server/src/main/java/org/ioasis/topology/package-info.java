/** Tables that tell a guest which devices are behind which IOMMU. */
@NullMarked
package org.ioasis.topology;

import org.jspecify.annotations.NullMarked;
