// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

/** The same with the quirk for Linux: a DETACH names the endpoint only (T3). */
class StatementsByEndpointTest extends StatementsTest {
    @Override
    boolean isDetachingByEndpoint() {
        return true;
    }
}
